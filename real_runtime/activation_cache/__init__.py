"""What has a frozen backbone put out, sample by sample? Kept on disk, and never handed on where it is damaged."""
