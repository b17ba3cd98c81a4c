package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.it.NbdServer.Kind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// Databases on disks whose servers are killed: no commit that was confirmed is gone, and the files
/// are whole.
///
/// `-Dsoak.rounds=N` kills each server N times.
@ExtendWith(NothingLeftBehind.class)
final class DatabaseIT {
  private static final int KILLS = Integer.getInteger("soak.rounds", 1);

  private static final int COMMITS = 20;
  private static final Duration DEADLINE = Duration.ofMinutes(10);

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @Test
  @Tag("long")
  void sqliteOnNbdLosesNoCommit() throws Exception {
    try (NbdServer server = NbdServer.serve(Kind.NBDKIT, image())) {
      killUnder(server.uri(), new Sqlite());
    }
  }

  @Test
  @Tag("linux-6.12")
  void sqliteInAFileLosesNoCommit() throws Exception {
    killUnder("file:" + image(), new Sqlite());
  }

  @Test
  @Tag("long")
  @Tag("postgresql")
  void postgresqlOnNbdLosesNoCommit() throws Exception {
    try (NbdServer server = NbdServer.serve(Kind.NBDKIT, image())) {
      killUnder(server.uri(), new Postgresql());
    }
  }

  @Test
  @Tag("long")
  @Tag("postgresql")
  void postgresqlInAFileLosesNoCommit() throws Exception {
    killUnder("file:" + image(), new Postgresql());
  }

  private Path image() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 512M " + image);
    return image;
  }

  private interface Database {
    void create() throws Exception;

    /// Starts a client that commits one transaction after the other, until [#stop].
    Process start() throws Exception;

    /// How many commits were confirmed so far.
    long confirmed() throws Exception;

    /// Ends client and database.
    ///
    /// @return how many commits were confirmed
    long stop(Process client) throws Exception;

    /// Fails unless the files are whole.
    ///
    /// @return how many transactions they hold
    long committed() throws Exception;
  }

  private void killUnder(String uri, Database database) throws Exception {
    long confirmed;
    try (Disk disk = Disk.attach(uri, "--name", "database")) {
      Command.shell("mkfs.ext4 -q " + disk.path());
      disk.mount(mountPoint);
      database.create();
      Process client = database.start();
      for (int kill = 0; kill < KILLS; kill++) {
        awaitMoreCommits(database);
        Command.shell("kill -9 " + Command.json("pid", "status", "database", "--json"));
      }
      awaitMoreCommits(database);
      confirmed = database.stop(client);
      Command.shell("umount " + mountPoint);
      Command.shell("e2fsck -fn " + disk.path());
    }
    try (Disk disk = Disk.attach(uri, "--name", "database")) {
      disk.mount(mountPoint);
      long committed = database.committed();
      Command.shell("umount " + mountPoint);
      assertTrue(committed >= confirmed, confirmed + " confirmed, " + committed + " there");
      System.out.printf(
          "%s on %s: %d kills, %d commits confirmed, %d there%n",
          database.getClass().getSimpleName(),
          uri.replaceAll(":.*", ""),
          KILLS,
          confirmed,
          committed);
    }
  }

  private static void awaitMoreCommits(Database database) throws Exception {
    long before = database.confirmed();
    Instant deadline = Instant.now().plus(DEADLINE);
    while (database.confirmed() < before + COMMITS) {
      assertTrue(Instant.now().isBefore(deadline), "commits go on");
      TimeUnit.MILLISECONDS.sleep(20);
    }
  }

  /// One row for each transaction; what was confirmed is the last number that it printed.
  private final class Sqlite implements Database {
    private final Path file = mountPoint.resolve("data.sqlite");
    private final Path printed = dir.resolve("printed");
    private final Path stop = dir.resolve("stop");

    @Override
    public void create() {
      Command.shell(
          "sqlite3 %s 'CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)'".formatted(file));
    }

    @Override
    public Process start() throws Exception {
      String transaction =
          "PRAGMA synchronous=FULL; INSERT INTO t (data) VALUES (randomblob(3000)); SELECT max(n) FROM t;";
      return new ProcessBuilder(
              "bash",
              "-c",
              "while [ ! -e %s ]; do sqlite3 -bail %s '%s' || exit; done"
                  .formatted(stop, file, transaction))
          .redirectErrorStream(true)
          .redirectOutput(printed.toFile())
          .start();
    }

    @Override
    public long confirmed() throws Exception {
      List<String> lines = Files.readAllLines(printed);
      // The last line may have been read before its end was written.
      return lines.size() < 2 ? 0 : Long.parseLong(lines.get(lines.size() - 2));
    }

    @Override
    public long stop(Process client) throws Exception {
      Files.createFile(stop);
      assertTrue(client.waitFor(DEADLINE.toMinutes(), TimeUnit.MINUTES), "the last commit ends");
      assertEquals(
          0, client.exitValue(), () -> "sqlite3: " + Command.shell("tail -n 3 " + printed));
      return confirmed();
    }

    @Override
    public long committed() {
      assertEquals("ok", Command.shell("sqlite3 %s 'PRAGMA integrity_check'".formatted(file)));
      return Long.parseLong(Command.shell("sqlite3 %s 'SELECT count(*) FROM t'".formatted(file)));
    }
  }

  /// Four clients of pgbench, which runs as long as the server does; the lab has them from
  /// `it/soak/run databases`.
  private final class Postgresql implements Database {
    private static final String BIN = "/usr/lib/postgresql/17/bin/";
    private static final int CLIENTS = 4;

    private final Path data = mountPoint.resolve("data");
    private final Path log = dir.resolve("pgbench.log");

    private String as(String command) {
      return "cd /; setpriv --reuid=65534 --regid=65534 --clear-groups -- " + BIN + command;
    }

    private String query(String sql) {
      return Command.shell(as("psql -h /tmp -U postgres -Atc \"%s\" postgres".formatted(sql)));
    }

    private void serve() {
      Command.shell(
          as(
              "pg_ctl -D %1$s -w -t 240 -l %1$s/log -o '-k /tmp -c listen_addresses=' start >/dev/null"
                  .formatted(data)));
    }

    @Override
    public void create() {
      Command.shell("cp -a %s/postgresql/. /; ldconfig".formatted(ImageStore.FILES));
      Command.shell(
          "mkdir %1$s; chown 65534:65534 %1$s; chmod 755 %2$s".formatted(data, mountPoint));
      Command.shell(
          as("initdb -D %s -U postgres --locale=C --data-checksums >/dev/null".formatted(data)));
      serve();
      Command.shell(as("pgbench -h /tmp -U postgres -i -s 1 postgres 2>&1"));
    }

    @Override
    public Process start() throws Exception {
      return new ProcessBuilder(
              "bash",
              "-c",
              as("pgbench -h /tmp -U postgres -c %d -T 100000 -P 1 postgres".formatted(CLIENTS)))
          .redirectErrorStream(true)
          .redirectOutput(log.toFile())
          .start();
    }

    /// Who sees a row sees a commit that is in the log on the disk.
    @Override
    public long confirmed() {
      return Long.parseLong(query("SELECT count(*) FROM pgbench_history"));
    }

    @Override
    public long stop(Process client) throws Exception {
      assertTrue(client.isAlive(), () -> "pgbench: " + Command.shell("tail -n 5 " + log));
      Command.shell("pkill -INT -x pgbench");
      assertTrue(client.waitFor(1, TimeUnit.MINUTES));
      assertEquals("", Command.shell("grep -iE 'error|abort' %s || true".formatted(log)));
      long confirmed = confirmed();
      // As a crash leaves it: its own recovery has to work as well.
      Command.shell(as("pg_ctl -D %s -m immediate stop >/dev/null".formatted(data)));
      return confirmed;
    }

    @Override
    public long committed() {
      serve();
      long committed = Long.parseLong(query("SELECT count(*) FROM pgbench_history"));
      assertEquals(
          "t",
          query(
              "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)"));
      Command.shell(as("pg_ctl -D %s stop >/dev/null".formatted(data)));
      Command.shell(as("pg_checksums -D %s --check >/dev/null".formatted(data)));
      return committed;
    }
  }
}
