"""What `benchmarks run soak` is made of: a service over rendered pictures, who listens, and what goes wrong."""
