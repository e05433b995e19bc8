/* The cheapest honest echo: one thread, recvmmsg and sendmmsg of up to 64 packets. It bounds from below what one system call per
 * batch can cost on this kernel; what leaves as one packet (UDP_SEGMENT) may cost less. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define BATCH 64
#define BYTES 65536

static char bytes[BATCH][BYTES];

int main(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) || getsockname(fd, (struct sockaddr *)&address, &length)) {
    perror("bind");
    return 1;
  }
  printf("port %u\n", ntohs(address.sin_port));
  fflush(stdout);
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  struct sockaddr_in peers[BATCH];
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){bytes[i], BYTES};
      messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_namelen = sizeof peers[i], .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, messages, BATCH, 0, NULL);
    if (count < 0) {
      struct pollfd wait = {.fd = fd, .events = POLLIN};
      if (errno == EAGAIN) poll(&wait, 1, -1);
      continue;
    }
    for (int i = 0; i < count; i++) parts[i].iov_len = messages[i].msg_len;
    for (int sent = 0; sent < count;) {
      int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
      struct pollfd wait = {.fd = fd, .events = POLLOUT};
      if (n > 0) sent += n;
      else if (errno == EAGAIN) poll(&wait, 1, -1);
      else sent++;
    }
  }
}
