"""What does PAC gain, what makes the gain, and when is its cache worth a disk?"""
