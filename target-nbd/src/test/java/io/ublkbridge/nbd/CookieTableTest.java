package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.RecordedRequest;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

final class CookieTableTest {
  private final CookieTable table = new CookieTable();

  private PendingCommand start() {
    PendingCommand command = table.start(RecordedRequest.read(0, 512), NbdProtocol.NBD_CMD_READ, 0);
    assertNotNull(command);
    return command;
  }

  @Test
  void findsWhatIsUnderWay() {
    PendingCommand one = start();
    PendingCommand two = start();
    assertNotEquals(one.cookie(), two.cookie());
    assertSame(one, table.find(one.cookie()));
    assertSame(two, table.find(two.cookie()));
    assertEquals(2, table.inFlight());
  }

  @Test
  void knowsNoOtherCookie() {
    assertNull(table.find(0));
    PendingCommand command = start();
    long cookie = command.cookie();
    assertNull(table.find(cookie + 1));
    assertNull(table.find(cookie + (1L << 32)));
    assertNull(table.find(-1));
    assertNull(table.find(Integer.MAX_VALUE));
    assertNull(table.find(cookie | 1L << 31));
  }

  @Test
  void aCookieIsWorthNothingAfterItsRequest() {
    PendingCommand command = start();
    long stale = command.cookie();
    table.end(command);
    assertNull(table.find(stale));
    PendingCommand next = start();
    assertSame(command, next, "the slot is used again at once");
    assertNull(table.find(stale));
    assertSame(next, table.find(next.cookie()));
  }

  @Test
  void growsToItsLimit() {
    Set<Long> cookies = new HashSet<>();
    for (int i = 0; i < CookieTable.CAPACITY_MAX; i++) {
      cookies.add(start().cookie());
    }
    assertEquals(CookieTable.CAPACITY_MAX, cookies.size());
    assertNull(table.start(RecordedRequest.flush(), NbdProtocol.NBD_CMD_FLUSH, 0));
    for (long cookie : cookies) {
      PendingCommand command = table.find(cookie);
      assertNotNull(command);
      table.end(command);
    }
    assertEquals(0, table.inFlight());
    assertTrue(table.underWay().isEmpty());
  }

  @Test
  void knowsTheOldest() {
    assertEquals(0, table.oldestAge(7));
    table.start(RecordedRequest.read(0, 512), NbdProtocol.NBD_CMD_READ, 5);
    PendingCommand old = table.start(RecordedRequest.read(0, 512), NbdProtocol.NBD_CMD_READ, 3);
    assertEquals(4, table.oldestAge(7));
    assertNotNull(old);
    table.end(old);
    assertEquals(2, table.oldestAge(7));
  }
}
