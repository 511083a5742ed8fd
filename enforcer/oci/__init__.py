"""The specifications' own models: image references, manifests, runtime configuration, seccomp profiles."""
