"""The kinds of guest that a VM of the lab can have, and how a VM's specification becomes one."""
