"""What sets up the demo, runs it twice, and judges what came of it. Standard library only."""
