"""What does a fine-tuned model take on this machine, in memory and in time?"""
