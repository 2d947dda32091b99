"""What does somebody type who wants a result? ``edgesim`` and a command."""
