"""Safe text: models' and people's words that neither hide nor act when shown."""
