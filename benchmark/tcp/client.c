/* The load client of the TCP benchmark: each connection sends its next line when the last one is back, which is compared byte by
 * byte. One thread, level-triggered epoll. Spoken to like the load client of the WebSocket benchmark: says `ready` when the server
 * is warm, begins the window at a line on stdin, says `result {…}`, and stays until the next line.
 *
 *   client --bytes 64 --port P --connections N --seconds S */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 1000
#define BYTES 4096
#define WARM_UP_LINES 20000
#define SAMPLES 4000000

static struct {
  int fd;
  size_t got;
  unsigned turn;
  double sent;
} peers[CONNECTIONS];
/* Two lines in turn, so that one that comes twice is not taken for the next. */
static char lines[2][BYTES];
static size_t bytes = 64;
static int count = 64, poller;
static float *samples;
static size_t sampled, lines_heard;

static void fail(const char *what) {
  fprintf(stderr, "client: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void say(int peer) {
  peers[peer].sent = now();
  peers[peer].got = 0;
  if (write(peers[peer].fd, lines[peers[peer].turn], bytes) != (ssize_t)bytes) fail("a line was not taken");
}

/* Whether the line is back. */
static int hear(int peer) {
  char input[BYTES];
  ssize_t n = read(peers[peer].fd, input, sizeof input);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (n <= 0) fail("a connection ended");
  size_t got = peers[peer].got;
  errno = 0;
  if (got + (size_t)n > bytes || memcmp(input, lines[peers[peer].turn] + got, (size_t)n)) fail("another line came back");
  peers[peer].got += (size_t)n;
  if (peers[peer].got < bytes) return 0;
  peers[peer].turn ^= 1;
  return 1;
}

/* Keeps a line on its way on every connection for so long, and at least so many lines; waits for the last to be back. */
static double window(double micros, size_t least) {
  struct epoll_event events[CONNECTIONS];
  double start = now(), last = start;
  size_t heard = 0;
  int under_way = count;
  sampled = 0;
  for (int peer = 0; peer < count; peer++) say(peer);
  while (under_way > 0) {
    int n = epoll_wait(poller, events, CONNECTIONS, 10000);
    errno = 0;
    if (n == 0) fail("no answer for ten seconds");
    for (int i = 0; i < n; i++) {
      int peer = (int)events[i].data.u32;
      if (!hear(peer)) continue;
      last = now();
      heard++;
      if (sampled < SAMPLES) samples[sampled++] = (float)(last - peers[peer].sent);
      if (last - start >= micros && heard >= least) under_way--;
      else say(peer);
    }
  }
  lines_heard = heard;
  return last - start;
}

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static void wait_for_word(void) {
  char line[64];
  if (!fgets(line, sizeof line, stdin)) exit(0);
}

int main(int argc, char **argv) {
  int port = 0;
  double seconds = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    double value = atof(argv[i + 1]);
    if (!strcmp(argv[i], "--bytes")) bytes = (size_t)value;
    else if (!strcmp(argv[i], "--port")) port = (int)value;
    else if (!strcmp(argv[i], "--connections")) count = (int)value;
    else if (!strcmp(argv[i], "--seconds")) seconds = value;
    else fail(argv[i]);
  }
  errno = 0;
  if (port <= 0 || count < 1 || count > CONNECTIONS || bytes < 2 || bytes > BYTES || seconds <= 0) fail("an option is out of range");
  samples = malloc(SAMPLES * sizeof *samples);
  poller = epoll_create1(0);
  for (int line = 0; line < 2; line++) {
    for (size_t at = 0; at + 1 < bytes; at++) lines[line][at] = (char)(' ' + (at + (size_t)line) % 95);
    lines[line][bytes - 1] = '\n';
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((unsigned short)port)};
  for (int peer = 0; peer < count; peer++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peers[peer].fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)peer};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
  }
  window(1e6, WARM_UP_LINES);
  puts("ready");
  fflush(stdout);
  wait_for_word();
  double micros = window(seconds * 1e6, 1);
  qsort(samples, sampled, sizeof *samples, by_value);
  printf("result {\"count\":%zu,\"micros\":%.0f,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}\n", lines_heard, micros, samples[sampled / 2],
         samples[sampled * 99 / 100], samples[sampled - 1]);
  fflush(stdout);
  wait_for_word();
  return 0;
}
