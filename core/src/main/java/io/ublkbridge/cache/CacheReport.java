package io.ublkbridge.cache;

import io.ublkbridge.cache.CacheCounters.Count;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What the cache of a device is and has done, for `status`.
record CacheReport(
    BlockCache cache, List<CacheCounters> queues, long readaheadBytes, @Nullable BlockTier tier) {

  Map<String, Object> fields() {
    CacheBudget budget = cache.budget();
    long hits = sum(Count.HITS);
    long lookups = hits + sum(Count.MISSES) + sum(Count.SHARED);
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("size", (long) budget.cachedBlocks() * budget.blockBytes());
    fields.put("memory", budget.totalBytes());
    fields.put("blockSize", budget.blockBytes());
    fields.put("cachedBytes", cache.blockCount() * budget.blockBytes());
    fields.put("hits", hits);
    fields.put("misses", sum(Count.MISSES));
    fields.put("shared", sum(Count.SHARED));
    fields.put("hitPercent", percent(hits, lookups));
    fields.put("bytesRead", sum(Count.BYTES_READ));
    fields.put("fills", sum(Count.FILLS));
    fields.put("fillBytes", sum(Count.FILL_BYTES));
    fields.put("fillsFailed", sum(Count.FAILED_FILLS));
    fields.put("fillsOutdated", sum(Count.STALE_FILLS));
    fields.put("evictions", cache.evictions());
    fields.put("bypassed", sum(Count.BYPASSED));
    fields.put("readsThatWaited", sum(Count.WAITED));
    fields.put("directReads", sum(Count.DIRECT_READS));
    fields.put("readahead", readahead());
    fields.put("prefetched", sum(Count.WARMED));
    if (tier != null) {
      Map<String, Object> disk = new LinkedHashMap<>(tier.details());
      long diskHits = sum(Count.TIER_HITS);
      long diskMisses = sum(Count.TIER_MISSES);
      disk.put("hits", diskHits);
      disk.put("misses", diskMisses);
      disk.put("hitPercent", percent(diskHits, diskHits + diskMisses));
      fields.put("disk", disk);
    }
    return fields;
  }

  private static long percent(long hits, long lookups) {
    return lookups == 0 ? 0 : 100 * hits / lookups;
  }

  private Map<String, Object> readahead() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("window", readaheadBytes);
    fields.put("issued", sum(Count.AHEAD_ISSUED));
    fields.put("used", sum(Count.AHEAD_USED));
    fields.put("wasted", sum(Count.AHEAD_WASTED));
    return fields;
  }

  private long sum(Count count) {
    return CacheCounters.sum(queues, count);
  }
}
