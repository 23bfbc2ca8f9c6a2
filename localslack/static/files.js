// Files as cards: name, size, what is in them.

import { h, icon } from "./dom.js";

function size(bytes) {
  if (bytes === undefined) return "";
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 1024 * 1024 ? `${Math.round(bytes / 102.4) / 10} kB` : `${Math.round(bytes / 104857.6) / 10} MB`;
}

/** The part of a file's address that leads to this server, whatever host the app was told. */
function localUrl(file) {
  if (!file.url) return null;
  const url = new URL(file.url, location.href);
  return url.pathname.startsWith("/files/") ? url.pathname + url.search : null;
}

export function fileCard(file) {
  const name = file.title || file.name || file.id;
  const url = localUrl(file);
  const open = url
    ? h("a", { class: "file-name", href: url, target: "_blank", rel: "noopener noreferrer" }, name)
    : h("span", { class: "file-name" }, name);
  const isCut = file.preview && file.size > new Blob([file.preview]).size;
  return h(
    "div",
    { class: "file", "data-testid": "file", "data-file-id": file.id },
    h("div", { class: "file-head" }, h("span", { class: "file-icon" }, icon("file")), h("div", { class: "file-title" }, open, h("small", {}, [file.name, size(file.size)].filter(Boolean).join(" · ")))),
    file.preview
      ? h(
          "details",
          { class: "file-preview" },
          h("summary", {}, "Preview"),
          h("pre", { class: "pre", tabindex: "0" }, file.preview),
          isCut && url ? h("p", { class: "file-cut" }, "This is the beginning. ", h("a", { href: url, target: "_blank" }, "Open the whole file")) : null,
        )
      : null,
  );
}
