"""Does the face move as people do?"""
