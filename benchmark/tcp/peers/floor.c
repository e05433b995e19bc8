/* The cheapest honest line echo: one thread, level-triggered epoll, one read and one write per readiness. A line that is not
 * complete waits. It bounds from below what any server can cost on this kernel. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECTIONS 65536
#define EVENTS 512
#define LINE 4096

/* The beginning of a line whose end has not come. */
static char *begun[CONNECTIONS];
static size_t lengths[CONNECTIONS];
static char buffers[1024][LINE];

static int serve(int fd) {
  char input[65536];
  size_t kept = lengths[fd];
  if (kept) memcpy(input, begun[fd], kept);
  ssize_t n = read(fd, input + kept, sizeof input - kept);
  if (n <= 0) return -1;
  size_t length = kept + (size_t)n;
  char *last = memrchr(input, '\n', length);
  size_t whole = last ? (size_t)(last - input) + 1 : 0;
  size_t rest = length - whole;
  if (rest > LINE) return -1;
  if (rest) memcpy(begun[fd], input + whole, rest);
  lengths[fd] = rest;
  return whole && write(fd, input, whole) != (ssize_t)whole ? -1 : 0;
}

int main(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096) ||
      getsockname(listener, (struct sockaddr *)&address, &length)) {
    perror("listen");
    return 1;
  }
  printf("port %u\n", ntohs(address.sin_port));
  fflush(stdout);
  int poller = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int n = epoll_wait(poller, events, EVENTS, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd != listener) {
        if (serve(fd)) close(fd);
        continue;
      }
      int client;
      while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (client >= 1024) {
          close(client);
          continue;
        }
        int on = 1;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        begun[client] = buffers[client];
        lengths[client] = 0;
        event.events = EPOLLIN;
        event.data.fd = client;
        epoll_ctl(poller, EPOLL_CTL_ADD, client, &event);
      }
    }
  }
}
