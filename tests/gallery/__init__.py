"""The gallery: every story played in localslack, its pictures, and what a reviewer reads and taps."""
