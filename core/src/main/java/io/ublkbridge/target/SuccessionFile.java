package io.ublkbridge.target;

import java.nio.file.Path;

/// Where a target keeps what only its process knows and the one that takes its disk over needs to.
///
/// The target makes the file if it has a use for it, readable for its owner alone, and never
/// removes it for good: that is for whoever ends the device. What it writes beside it begins with
/// the same name and a dot.
///
/// @param path in memory (`tmpfs`): it outlives processes, but not the machine
/// @param inherited whether the process before this one has served the disk with such a file. Else
///   one that is there is of another disk, and means nothing
public record SuccessionFile(Path path, boolean inherited) {}
