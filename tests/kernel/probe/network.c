/* Group n: what of the network is there. A UDP connect(2) only looks up the route and sends nothing; what does send is
 * marked REMOTE and runs only with --network. */
#include "probe.h"

#include <arpa/inet.h>
#include <net/if.h> /* before linux/if.h, which then leaves out what it defines */
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 700, SCOPES = 16 };

static socklen_t address_of(const char *text, int port, struct sockaddr_storage *address) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) unsure("not an address: %s", text);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return sizeof *v6;
}

static void step_route(const struct attempt *attempt) {
    struct sockaddr_storage address;
    socklen_t size = address_of(attempt->path, (int)attempt->a, &address);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) refused("socket");
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    if (attempt->b) /* a link-local address names its interface as well */
        for (v6->sin6_scope_id = 2; v6->sin6_scope_id < SCOPES; v6->sin6_scope_id++)
            if (connect(fd, (struct sockaddr *)&address, size) == 0) reached("a route by interface %u", v6->sin6_scope_id);
    judge(connect(fd, (struct sockaddr *)&address, size), "a route");
}

/* Connected, or answered by a reset: both say that packets pass. */
static int tcp_error(const char *host, int port) {
    struct sockaddr_storage address;
    socklen_t size = address_of(host, port, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return errno;
    int error = connect(fd, (struct sockaddr *)&address, size) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        socklen_t length = sizeof error;
        if (poll(&wait, 1, PATIENCE_MS) == 0) error = ETIMEDOUT;
        else getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    }
    close(fd);
    return error;
}

static void step_tcp(const struct attempt *attempt) {
    errno = tcp_error(attempt->path, (int)attempt->a);
    if (errno == 0) reached("connected");
    if (errno == ECONNREFUSED) reached("answered by a reset");
    refused("connect");
}

static void step_host_port(const struct attempt *attempt) {
    int last = 0;
    if (settings.host_ports.count == 0) unsure("no --host-port given");
    for (int at = 0; at < settings.host_ports.count; at++) {
        last = tcp_error(attempt->path, atoi(settings.host_ports.items[at]));
        if (last == 0) reached("port %s of the host on %s", settings.host_ports.items[at], attempt->path);
    }
    errno = last;
    refused("none of %d ports", settings.host_ports.count);
}

static void step_udp_send(const struct attempt *attempt) {
    struct sockaddr_storage address;
    socklen_t size = address_of(attempt->path, (int)attempt->a, &address);
    /* a query for the root's name servers */
    static const unsigned char query[] = {0x70, 0x72, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1};
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) refused("socket");
    judge(sendto(fd, query, sizeof query, MSG_NOSIGNAL, (struct sockaddr *)&address, size), "sendto");
}

static void step_fast_open(const struct attempt *attempt) {
    struct sockaddr_storage address;
    socklen_t size = address_of(attempt->path, (int)attempt->a, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) refused("socket");
    long answer = sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&address, size);
    if (answer < 0 && errno == EINPROGRESS) reached("a connection by MSG_FASTOPEN is under way");
    judge(answer, "MSG_FASTOPEN");
}

static void step_interfaces(const struct attempt *attempt) {
    char found[256] = "";
    (void)attempt;
    struct if_nameindex *all = if_nameindex();
    if (!all) refused("if_nameindex");
    for (struct if_nameindex *at = all; at->if_index; at++)
        if (strcmp(at->if_name, "lo")) snprintf(found + strlen(found), sizeof found - strlen(found), " %s", at->if_name);
    if (found[0]) reached("interfaces:%s", found);
    errno = ENODEV;
    refused("only lo");
}

static void step_interface_index(const struct attempt *attempt) { /* without netlink: by number */
    (void)attempt;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) refused("socket");
    for (int index = 1; index < 64; index++) {
        struct ifreq request = {.ifr_ifindex = index};
        if (ioctl(fd, SIOCGIFNAME, &request)) continue;
        if (strcmp(request.ifr_name, "lo")) reached("interface %d is %s", index, request.ifr_name);
    }
    errno = ENODEV;
    refused("only lo");
}

static void step_addresses(const struct attempt *attempt) {
    struct ifaddrs *all = NULL;
    char text[INET6_ADDRSTRLEN];
    (void)attempt;
    if (getifaddrs(&all)) refused("getifaddrs");
    for (struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (!at->ifa_addr || (at->ifa_flags & IFF_LOOPBACK)) continue;
        int family = at->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6) continue;
        const void *bytes = family == AF_INET ? (void *)&((struct sockaddr_in *)at->ifa_addr)->sin_addr
                                              : (void *)&((struct sockaddr_in6 *)at->ifa_addr)->sin6_addr;
        reached("%s has %s", at->ifa_name, inet_ntop(family, bytes, text, sizeof text));
    }
    errno = EADDRNOTAVAIL;
    refused("no address but loopback's");
}

/* Rows of a table in /proc/net beyond its heading of a lines. */
static void step_table(const struct attempt *attempt) {
    char line[1024], first[200] = "";
    FILE *file = fopen(attempt->path, "re");
    long rows = 0;
    if (!file) refused("open");
    while (fgets(line, sizeof line, file)) {
        if (rows++ < attempt->a || strstr(line, " lo:") || strstr(line, "lo\n")) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(first, sizeof first, "%.190s", line);
    }
    if (first[0]) reached("%s", first);
    errno = ENOENT;
    refused("no rows");
}

static void step_set_option(const struct attempt *attempt) {
    int fd = socket(AF_INET, attempt->path ? SOCK_STREAM | SOCK_CLOEXEC : SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int value = attempt->path ? 1 : 7;
    if (fd < 0) refused("socket");
    judge(setsockopt(fd, (int)attempt->a, (int)attempt->b, &value, sizeof value), "setsockopt");
}

static void step_iptables(const struct attempt *attempt) {
    struct ipt_getinfo info = {.name = "filter"};
    socklen_t size = sizeof info;
    (void)attempt;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) refused("socket");
    long answer = getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &size);
    if (answer < 0 && errno == ENOPROTOOPT) unsure("no iptables in this kernel");
    if (answer < 0 && errno == ENOENT) reached("allowed, no such table");
    judge(answer, "IPT_SO_GET_INFO");
}

/* Sends one request and returns the error of its acknowledgement, 0 for none, or a positive errno. */
static int netlink_error(int protocol, struct nlmsghdr *message) {
    char answer[8192];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0) return errno;
    if (send(fd, message, message->nlmsg_len, 0) < 0) return errno;
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got < 0) return errno;
    const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
    if (head->nlmsg_type != NLMSG_ERROR) return 0;
    return -((const struct nlmsgerr *)NLMSG_DATA(head))->error;
}

static void step_nftables(const struct attempt *attempt) {
    struct {
        struct nlmsghdr head;
        struct nfgenmsg body;
    } message = {{sizeof message, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | attempt->a), NLM_F_REQUEST | NLM_F_ACK, 1, 0},
                 {AF_INET, NFNETLINK_V0, 0}};
    errno = netlink_error(NETLINK_NETFILTER, &message.head);
    if (errno == 0 || errno == EINVAL || errno == ENOENT) reached("nf_tables answers");
    refused("nf_tables");
}

static void step_rtnetlink(const struct attempt *attempt) {
    struct {
        struct nlmsghdr head;
        struct ifinfomsg body;
    } message = {{sizeof message, (uint16_t)attempt->a, NLM_F_REQUEST | NLM_F_ACK, 1, 0}, {.ifi_index = 1 << 20}};
    errno = netlink_error(NETLINK_ROUTE, &message.head);
    if (errno == 0 || errno == ENODEV || errno == EINVAL || errno == ENXIO) reached("allowed");
    refused("rtnetlink");
}

static void step_interface_same(const struct attempt *attempt) { /* lo's own value is set again */
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) refused("socket");
    if (ioctl(fd, (unsigned long)attempt->a, &request)) refused("read");
    judge(ioctl(fd, (unsigned long)attempt->b, &request), "set");
}

static void step_tun(const struct attempt *attempt) {
    struct ifreq request = {.ifr_flags = (short)(attempt->a | IFF_NO_PI)};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0) refused("open");
    judge(ioctl(fd, TUNSETIFF, &request), "TUNSETIFF");
}

static void step_bind(const struct attempt *attempt) {
    struct sockaddr_storage address;
    socklen_t size = address_of(attempt->path, (int)attempt->a, &address);
    int fd = socket(address.ss_family, (int)attempt->b | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) refused("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    long answer = bind(fd, (struct sockaddr *)&address, size);
    if (answer < 0 && errno == EADDRINUSE) reached("in use, but allowed");
    judge(answer, "bind");
}

static void step_resolver(const struct attempt *attempt) {
    char text[4096], host[64];
    (void)attempt;
    if (slurp("/etc/resolv.conf", text, sizeof text) <= 0) refused("no /etc/resolv.conf");
    const char *line = strstr(text, "nameserver ");
    if (!line || sscanf(line, "nameserver %63s", host) != 1) {
        errno = ENOENT;
        refused("no name server");
    }
    struct attempt route = {.path = host, .a = 53};
    step_route(&route);
}

#define ROUTE(name, address, port) {"n.route_" name, 0, step_route, address, port, 0}
#define TCP(name, address, port) {"n.tcp_" name, REMOTE, step_tcp, address, port, 0}
#define ROWS(name, path, heading) {"n.proc_net_" name, 0, step_table, "/proc/net/" path, heading, 0}
#define OPTION(name, level, option) {"n.option_" name, 0, step_set_option, NULL, level, option}

const struct attempt network_attempts[] = {
    {"n.interfaces", 0, step_interfaces, NULL, 0, 0},
    {"n.interfaces_by_number", 0, step_interface_index, NULL, 0, 0},
    {"n.addresses", 0, step_addresses, NULL, 0, 0},
    ROUTE("metadata", "169.254.169.254", 80),
    ROUTE("metadata_ecs", "169.254.170.2", 80),
    ROUTE("metadata_v6", "fd00:ec2::254", 80),
    ROUTE("metadata_alibaba", "100.100.100.200", 80),
    ROUTE("metadata_azure", "168.63.129.16", 80),
    ROUTE("ten", "10.0.0.1", 80),
    ROUTE("slirp_gateway", "10.0.2.2", 80),
    ROUTE("slirp_dns", "10.0.2.3", 53),
    ROUTE("docker_bridge", "172.17.0.1", 80),
    ROUTE("podman_bridge", "10.88.0.1", 80),
    ROUTE("private_192", "192.168.0.1", 80),
    ROUTE("libvirt", "192.168.122.1", 80),
    ROUTE("kubernetes", "10.96.0.1", 443),
    ROUTE("internet", "8.8.8.8", 443),
    ROUTE("dns", "1.1.1.1", 53),
    ROUTE("internet_v6", "2001:4860:4860::8888", 443),
    ROUTE("mapped_v6", "::ffff:8.8.8.8", 443),
    ROUTE("nat64", "64:ff9b::808:808", 443),
    {"n.route_link_local_v6", 0, step_route, "fe80::1", 80, 1},
    ROUTE("multicast", "224.0.0.251", 5353),
    {"n.route_multicast_v6", 0, step_route, "ff02::fb", 5353, 1},
    ROUTE("broadcast", "255.255.255.255", 67),
    {"n.resolver_route", 0, step_resolver, NULL, 0, 0},
    TCP("metadata", "169.254.169.254", 80),
    TCP("slirp_gateway", "10.0.2.2", 22),
    TCP("docker_bridge", "172.17.0.1", 22),
    TCP("internet", "8.8.8.8", 443),
    TCP("internet_v6", "2001:4860:4860::8888", 443),
    TCP("mapped_v6", "::ffff:8.8.8.8", 443),
    {"n.fastopen_internet", REMOTE, step_fast_open, "8.8.8.8", 443, 0},
    {"n.dns_google", REMOTE, step_udp_send, "8.8.8.8", 53, 0},
    {"n.dns_cloudflare", REMOTE, step_udp_send, "1.1.1.1", 53, 0},
    {"n.dns_v6", REMOTE, step_udp_send, "2001:4860:4860::8888", 53, 0},
    {"n.udp_metadata", REMOTE, step_udp_send, "169.254.169.254", 123, 0},
    {"n.mdns", REMOTE, step_udp_send, "224.0.0.251", 5353, 0},
    {"n.host_port", 0, step_host_port, "127.0.0.1", 0, 0},
    {"n.host_port_v6", 0, step_host_port, "::1", 0, 0},
    {"n.host_port_any", 0, step_host_port, "0.0.0.0", 0, 0},
    {"n.host_port_gateway", REMOTE, step_host_port, "10.0.2.2", 0, 0},
    ROWS("tcp", "tcp", 1),
    ROWS("tcp6", "tcp6", 1),
    ROWS("udp", "udp", 1),
    ROWS("raw", "raw", 1),
    ROWS("packet", "packet", 1),
    ROWS("dev", "dev", 2),
    ROWS("route", "route", 1),
    ROWS("arp", "arp", 1),
    {"n.proc_net_netlink", LOOSE, step_table, "/proc/net/netlink", 1, 0}, /* the kernel's own sockets are listed too */
    OPTION("mark", SOL_SOCKET, SO_MARK),
    OPTION("priority", SOL_SOCKET, SO_PRIORITY),
    OPTION("rcvbufforce", SOL_SOCKET, SO_RCVBUFFORCE),
    OPTION("sndbufforce", SOL_SOCKET, SO_SNDBUFFORCE),
    OPTION("debug", SOL_SOCKET, SO_DEBUG),
    OPTION("transparent", SOL_IP, IP_TRANSPARENT),
    {"n.option_tcp_repair", 0, step_set_option, "tcp", IPPROTO_TCP, TCP_REPAIR},
    {"n.iptables", 0, step_iptables, NULL, 0, 0},
    {"n.nf_tables", 0, step_nftables, NULL, NFT_MSG_GETGEN, 0},
    {"n.nf_tables_list", 0, step_nftables, NULL, NFT_MSG_GETTABLE, 0},
    {"n.rtnetlink_set", 0, step_rtnetlink, NULL, RTM_SETLINK, 0},
    {"n.rtnetlink_delete", 0, step_rtnetlink, NULL, RTM_DELLINK, 0},
    {"n.lo_flags", OUTSIDE, step_interface_same, NULL, SIOCGIFFLAGS, SIOCSIFFLAGS},
    {"n.lo_mtu", OUTSIDE, step_interface_same, NULL, SIOCGIFMTU, SIOCSIFMTU},
    {"n.tun", OUTSIDE, step_tun, NULL, IFF_TUN, 0},
    {"n.tap", OUTSIDE, step_tun, NULL, IFF_TAP, 0},
    {"n.bind_80", 0, step_bind, "127.0.0.1", 80, SOCK_STREAM},
    {"n.bind_53", 0, step_bind, "127.0.0.1", 53, SOCK_DGRAM},
    {"n.bind_22_v6", 0, step_bind, "::1", 22, SOCK_STREAM},
    {"n.bind_high", LOOSE, step_bind, "127.0.0.1", 0, SOCK_STREAM},
};
const size_t network_attempts_count = COUNT(network_attempts);
