package io.ublkbridge.target;

import java.util.OptionalLong;

/// One of the targets that are to be had at some place.
///
/// @param name what to write in the URI, empty for the place's default
/// @param sizeBytes unless it is not known
/// @param description the place's own words, perhaps empty
public record Offer(String name, OptionalLong sizeBytes, String description) {}
