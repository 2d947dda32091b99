"""Where would a model live without a clever planner? Even, proportional, spelt out by hand, or every plan tried."""
