"""Pages on which people review in a browser, signed in with OpenID Connect."""
