/* The cheapest honest server: one thread, level-triggered epoll, one fixed answer per blank line seen.
 * It bounds from below what any server can cost on this kernel. Answers GET only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECTIONS 65536
#define EVENTS 512
#define ANSWERS 256

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain;charset=UTF-8\r\ncontent-length: 13\r\n"
    "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nHello, world!";

/* How much of "\r\n\r\n" each connection has shown: a head may arrive in pieces. */
static unsigned char seen[CONNECTIONS];
static char answers[ANSWERS * (sizeof ANSWER - 1)];

static int write_all(int fd, size_t length) {
  size_t sent = 0;
  while (sent < length) {
    ssize_t n = write(fd, answers + sent, length - sent);
    if (n <= 0) return -1;
    sent += (size_t)n;
  }
  return 0;
}

static int serve(int fd) {
  char input[16384];
  ssize_t n = read(fd, input, sizeof input);
  if (n <= 0) return -1;
  unsigned count = 0, state = seen[fd];
  for (ssize_t i = 0; i < n; i++) {
    if (input[i] == ((state & 1) ? '\n' : '\r')) state++;
    else state = input[i] == '\r';
    if (state == 4) {
      state = 0;
      if (++count == ANSWERS) {
        if (write_all(fd, count * (sizeof ANSWER - 1))) return -1;
        count = 0;
      }
    }
  }
  seen[fd] = (unsigned char)state;
  return count ? write_all(fd, count * (sizeof ANSWER - 1)) : 0;
}

int main(void) {
  for (int i = 0; i < ANSWERS; i++) memcpy(answers + (size_t)i * (sizeof ANSWER - 1), ANSWER, sizeof ANSWER - 1);
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
      while ((client = accept4(listener, NULL, NULL, 0)) >= 0) {
        if (client >= CONNECTIONS) {
          close(client);
          continue;
        }
        int on = 1;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        seen[client] = 0;
        event.events = EPOLLIN;
        event.data.fd = client;
        epoll_ctl(poller, EPOLL_CTL_ADD, client, &event);
      }
    }
  }
}
