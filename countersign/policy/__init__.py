"""What a workspace's policy file says, and what follows from it for one action."""
