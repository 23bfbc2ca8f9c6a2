"""What people do in Slack: commands, clicks and windows, each stored before it is answered."""
