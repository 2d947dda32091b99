"""What does Asteroid gain, and what makes the gain? Its studies of throughput and of recovery, summed up."""
