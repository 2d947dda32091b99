"""How near is the simulator on settings that nobody chose, and do its intervals hold there?"""
