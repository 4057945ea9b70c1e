"""What any pipeline needs of a video of a person: pictures at 25 fps, sound, one tracked face.

sniff, limits -> container -> steady (25 fps by timestamps) -> cuts -> follow -> curves
"""
