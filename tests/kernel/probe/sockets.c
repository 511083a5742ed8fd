/* Group k: socket families and protocols, each a piece of the kernel to attack. */
#include "probe.h"

#include <linux/if_alg.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>

static void step_socket(const struct attempt *attempt) {
    int type = (int)(attempt->b & 0xff), protocol = (int)(attempt->b >> 8);
    judge(socket((int)attempt->a, type | SOCK_CLOEXEC, protocol), attempt->path);
}

static void step_alg_bind(const struct attempt *attempt) {
    struct sockaddr_alg address = {.salg_family = AF_ALG};
    int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) refused("socket");
    snprintf((char *)address.salg_type, sizeof address.salg_type, "aead");
    snprintf((char *)address.salg_name, sizeof address.salg_name, "%s", attempt->path);
    judge(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
}

#define SOCKET(name, family, type, protocol) {"k.socket_" name, 0, step_socket, #family, family, (type) | (protocol) << 8}

const struct attempt socket_attempts[] = {
    SOCKET("alg", AF_ALG, SOCK_SEQPACKET, 0),
    {"k.alg_bind_authencesn", 0, step_alg_bind, "authencesn(hmac(sha256),cbc(aes))", 0, 0},
    SOCKET("packet_raw", AF_PACKET, SOCK_RAW, 0),
    SOCKET("packet_dgram", AF_PACKET, SOCK_DGRAM, 0),
    SOCKET("raw_icmp", AF_INET, SOCK_RAW, 1),
    SOCKET("raw_tcp", AF_INET, SOCK_RAW, 6),
    SOCKET("raw_any", AF_INET, SOCK_RAW, 255),
    SOCKET("raw6_icmp", AF_INET6, SOCK_RAW, 58),
    SOCKET("ping", AF_INET, SOCK_DGRAM, 1),
    SOCKET("sctp", AF_INET, SOCK_STREAM, 132),
    SOCKET("dccp", AF_INET, SOCK_STREAM, 33),
    SOCKET("mptcp", AF_INET, SOCK_STREAM, 262),
    SOCKET("udplite", AF_INET, SOCK_DGRAM, 136),
    SOCKET("netlink_route", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE),
    SOCKET("netlink_usersock", AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK),
    SOCKET("netlink_sock_diag", AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG),
    SOCKET("netlink_nflog", AF_NETLINK, SOCK_RAW, NETLINK_NFLOG),
    SOCKET("netlink_xfrm", AF_NETLINK, SOCK_RAW, NETLINK_XFRM),
    SOCKET("netlink_selinux", AF_NETLINK, SOCK_RAW, NETLINK_SELINUX),
    SOCKET("netlink_iscsi", AF_NETLINK, SOCK_RAW, NETLINK_ISCSI),
    SOCKET("netlink_audit", AF_NETLINK, SOCK_RAW, NETLINK_AUDIT),
    SOCKET("netlink_connector", AF_NETLINK, SOCK_RAW, NETLINK_CONNECTOR),
    SOCKET("netlink_netfilter", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER),
    SOCKET("netlink_uevent", AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT),
    SOCKET("netlink_generic", AF_NETLINK, SOCK_RAW, NETLINK_GENERIC),
    SOCKET("netlink_crypto", AF_NETLINK, SOCK_RAW, NETLINK_CRYPTO),
    SOCKET("vsock", AF_VSOCK, SOCK_STREAM, 0),
    SOCKET("bluetooth", AF_BLUETOOTH, SOCK_RAW, 1),
    SOCKET("xdp", AF_XDP, SOCK_RAW, 0),
    SOCKET("key", AF_KEY, SOCK_RAW, 2),
    SOCKET("rxrpc", AF_RXRPC, SOCK_DGRAM, AF_INET),
    SOCKET("tipc", AF_TIPC, SOCK_RDM, 0),
    SOCKET("can", AF_CAN, SOCK_RAW, 1),
    SOCKET("rds", AF_RDS, SOCK_SEQPACKET, 0),
    SOCKET("kcm", AF_KCM, SOCK_DGRAM, 0),
    SOCKET("smc", AF_SMC, SOCK_STREAM, 0),
    SOCKET("qipcrtr", AF_QIPCRTR, SOCK_DGRAM, 0),
    SOCKET("nfc", AF_NFC, SOCK_RAW, 0),
    SOCKET("phonet", AF_PHONET, SOCK_DGRAM, 0),
    SOCKET("ieee802154", AF_IEEE802154, SOCK_DGRAM, 0),
    SOCKET("pppox", AF_PPPOX, SOCK_STREAM, 0),
    SOCKET("llc", AF_LLC, SOCK_STREAM, 0),
    SOCKET("ax25", AF_AX25, SOCK_DGRAM, 0),
    SOCKET("x25", AF_X25, SOCK_SEQPACKET, 0),
    SOCKET("appletalk", AF_APPLETALK, SOCK_DGRAM, 0),
    SOCKET("ib", AF_IB, SOCK_DGRAM, 0),
    SOCKET("mctp", 45, SOCK_DGRAM, 0),
    {"k.socket_inet_tcp", LOOSE, step_socket, "AF_INET", AF_INET, SOCK_STREAM},
    {"k.socket_inet6_tcp", LOOSE, step_socket, "AF_INET6", AF_INET6, SOCK_STREAM},
    {"k.socket_unix", LOOSE, step_socket, "AF_UNIX", AF_UNIX, SOCK_STREAM},
};
const size_t socket_attempts_count = COUNT(socket_attempts);
