"""Where do ranks live? On emulated hosts of this machine: network namespaces where allowed, else plain processes."""
