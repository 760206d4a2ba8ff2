"""The kinds of guest that a VM of the lab can have, and what they are built from."""
