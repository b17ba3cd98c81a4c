package io.ublkbridge.s3;

import org.jspecify.annotations.Nullable;

/// One version of an object: bytes that never change, or are gone.
///
/// @param etag as the store gave it, with its quotes
/// @param versionId where the bucket keeps versions and one was asked for; else null
/// @param sizeBytes how long the object is
record ObjectVersion(String key, String etag, @Nullable String versionId, long sizeBytes) {}
