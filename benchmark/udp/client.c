/* The load: `client PORT PEERS WINDOW BYTES SECONDS`.
 * Each peer is a connected socket with WINDOW packets on their way; for every echo another packet is sent. Prints
 * `PACKETS MICROSECONDS LOST`. A packet that does not come back within 100 ms is lost, and another one is sent in its place. An echo
 * that is not what was sent ends the program with code 1. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define BYTES 65536
#define LOST_AFTER 100000

static char received[BATCH][BYTES], pattern[BYTES];
static struct mmsghdr in[BATCH], out[BATCH];
static struct iovec in_parts[BATCH], out_part;

struct peer {
  int fd;
  int waiting;
  int64_t heard;
};

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000LL + time.tv_nsec / 1000;
}

static void fill(struct peer *peer, int window) {
  while (peer->waiting < window) {
    int missing = window - peer->waiting;
    int sent = sendmmsg(peer->fd, out, (unsigned)(missing < BATCH ? missing : BATCH), MSG_DONTWAIT);
    if (sent <= 0) return;
    peer->waiting += sent;
  }
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  int port = atoi(argv[1]), peers = atoi(argv[2]), window = atoi(argv[3]), size = atoi(argv[4]);
  int64_t length = (int64_t)(atof(argv[5]) * 1e6);
  struct peer *all = calloc((size_t)peers, sizeof *all);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int i = 0; i < size; i++) pattern[i] = (char)(i * 31 + 7);
  out_part = (struct iovec){pattern, (size_t)size};
  for (int i = 0; i < BATCH; i++) {
    in_parts[i] = (struct iovec){received[i], BYTES};
    in[i].msg_hdr = (struct msghdr){.msg_iov = &in_parts[i], .msg_iovlen = 1};
    out[i].msg_hdr = (struct msghdr){.msg_iov = &out_part, .msg_iovlen = 1};
  }
  int poller = epoll_create1(0);
  int64_t start = now(), end = start + length;
  for (int i = 0; i < peers; i++) {
    all[i].fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(all[i].fd, (struct sockaddr *)&address, sizeof address)) return 3;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
    epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event);
    all[i].heard = start;
    fill(&all[i], window);
  }
  int64_t packets = 0, lost = 0, time = start, checked = start;
  struct epoll_event events[256];
  while ((time = now()) < end) {
    int ready = epoll_wait(poller, events, 256, 20);
    for (int e = 0; e < ready; e++) {
      struct peer *peer = events[e].data.ptr;
      int count = recvmmsg(peer->fd, in, BATCH, MSG_DONTWAIT, NULL);
      for (int i = 0; i < count; i++) {
        if (in[i].msg_len != (unsigned)size || memcmp(received[i], pattern, (size_t)size)) return 1;
      }
      if (count <= 0) continue;
      packets += count;
      peer->heard = time;
      peer->waiting = peer->waiting > count ? peer->waiting - count : 0;
      fill(peer, window);
    }
    if (time - checked < LOST_AFTER / 4) continue;
    checked = time;
    for (int i = 0; i < peers; i++) {
      if (time - all[i].heard < LOST_AFTER) continue;
      lost += all[i].waiting;
      all[i].waiting = 0;
      all[i].heard = time;
      fill(&all[i], window);
    }
  }
  printf("%lld %lld %lld\n", (long long)packets, (long long)(time - start), (long long)lost);
  return 0;
}
