"""The services of the example teams: mail, a shop, notes, deployments."""
