"""views.*: modals and Homes."""

from .errors import Json, SlackError
from .methods import TIER_4, Arguments, Method
from .payload_checks import check_view
from .platform import Platform


def _view(args: Arguments) -> Json:
    view = args.data("view", "invalid_arguments")
    if not isinstance(view, dict):
        raise SlackError("invalid_arguments", ["[ERROR] missing required field: view"])
    return view


def _open(platform: Platform, args: Arguments) -> Json:
    trigger_id, view = args.needed("trigger_id"), _view(args)
    check_view(view, ("modal",))
    trigger = platform.triggers.spend(trigger_id)
    return {"view": platform.modals.open(trigger, view).full()}


def _push(platform: Platform, args: Arguments) -> Json:
    trigger_id, view = args.needed("trigger_id"), _view(args)
    check_view(view, ("modal",))
    trigger = platform.triggers.spend(trigger_id)
    if trigger.view_id is None:
        raise SlackError("invalid_trigger_id")
    return {"view": platform.modals.push(trigger.user, view).full()}


def _update(platform: Platform, args: Arguments) -> Json:
    view_id, external_id = args.text("view_id"), args.text("external_id")
    if not view_id and not external_id:
        raise SlackError("invalid_arguments", ["[ERROR] missing required field: view_id or external_id"])
    content = _view(args)
    view = platform.modals.find(view_id or None, external_id or None)
    return {"view": platform.modals.update(view, content, args.text("hash") or None).full()}


def _publish(platform: Platform, args: Arguments) -> Json:
    user = args.needed("user_id")
    if user not in platform.workspace.users:
        raise SlackError("user_not_found")
    if not platform.config.home_tab:
        raise SlackError("not_enabled")
    return {"view": platform.modals.publish(user, _view(args), args.text("hash") or None).full()}


METHODS = {
    "views.open": Method(_open, TIER_4),
    "views.push": Method(_push, TIER_4),
    "views.update": Method(_update, TIER_4),
    "views.publish": Method(_publish, TIER_4),
}
