"""People and channels of a fresh workspace."""

from .workspace import Channel, User, UserGroup, Workspace


def seed(workspace: Workspace, app_name: str) -> None:
    """Fill in people of every kind that a check must tell apart, under readable ids.

    alice (admin), bob, carol, dave; greta is a guest, dora left, sam is of another company; @reviewers are bob
    and carol.
    """
    people = [
        User("U0ALICE", "alice", "Alice Adams", is_admin=True),
        User("U0BOB", "bob", "Bob Brown"),
        User("U0CAROL", "carol", "Carol Clark"),
        User("U0DAVE", "dave", "Dave Dunn"),
        User("U0GRETA", "greta", "Greta Guest", is_restricted=True),
        User("U0DORA", "dora", "Dora Departed", deleted=True),
        User("U0SAM", "sam", "Sam Stranger", team_id="T0OTHER"),
        User(workspace.bot_user, app_name.lower().replace(" ", "-"), app_name, is_bot=True),
    ]
    workspace.users = {user.id: user for user in people}
    reviewers = UserGroup("S0REVIEWERS", "reviewers", "Reviewers", ["U0BOB", "U0CAROL"])
    workspace.groups = {reviewers.id: reviewers}
    staff = {"U0ALICE", "U0BOB", "U0CAROL", "U0DAVE"}
    channels = [
        Channel("C0GENERAL", "general", staff | {"U0GRETA", workspace.bot_user}),
        Channel("C0APPROVALS", "approvals", staff | {"U0GRETA", workspace.bot_user}),
        Channel("C0RANDOM", "random", set(staff)),
    ]
    workspace.channels = {channel.id: channel for channel in channels}
