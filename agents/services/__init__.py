"""What the example teams work with: mail, a shop, notes, deployments."""
