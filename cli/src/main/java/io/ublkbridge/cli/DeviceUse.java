package io.ublkbridge.cli;

/// Somebody who uses a disk.
///
/// @param passing whether it may be over in a moment, as with a probe by udev
/// @param text the end of a sentence: `/dev/ublkb0p1 is mounted on /mnt`
/// @param remedy what makes it end
record DeviceUse(boolean passing, String text, String remedy) {}
