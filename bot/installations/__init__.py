"""Installations of the app in several workspaces, by OAuth."""
