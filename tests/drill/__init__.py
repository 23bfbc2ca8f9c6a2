"""A drill: each fault is made for real, and Prometheus has to fire its alert and no other."""
