/// The block cache against a model: a plain disk that keeps every version of its sectors.
@NullMarked
package io.ublkbridge.cache;

import org.jspecify.annotations.NullMarked;
