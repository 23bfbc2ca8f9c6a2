"""The record of what happened: chained, exported, verified, signed, copied to SQL."""
