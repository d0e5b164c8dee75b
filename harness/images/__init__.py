"""Real OCI images without a Docker daemon: build, push, resolve, unpack, and turn into a process.

Images live in a registry on the loopback interface and are addressed as `localhost:PORT/name:tag`; the `crane` program
does all the talking. What a container runtime would do with an image (mounting its layers, entering its root) is replaced by
unpacking it and running its command with the paths rewritten.
"""

from harness.images.crane import Crane, ImageNotFound, InvalidImageName, RegistryUnavailable
from harness.images.spec import ImageConfig, NoCommand, ProcessSpec, parse_config, process_spec
from harness.images.store import ImageStore, UnpackedImage

__all__ = [
    "Crane",
    "ImageConfig",
    "ImageNotFound",
    "ImageStore",
    "InvalidImageName",
    "NoCommand",
    "ProcessSpec",
    "RegistryUnavailable",
    "UnpackedImage",
    "parse_config",
    "process_spec",
]
