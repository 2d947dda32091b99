"""What can be read of the power that devices draw? One file per meter, and the thread that reads one."""
