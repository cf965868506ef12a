// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "health/pinger.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include <array>
#include <cstring>
#include <random>

#include <fmt/format.h>

namespace anycast::health {

namespace {

struct EchoHeader { // ICMP and ICMPv6 agree on it
	std::uint8_t type = 0, code = 0;
	std::uint16_t checksum = 0;
	std::uint32_t key = 0; // identifier and sequence number
	std::array<std::uint8_t, 24> filling{};
};
static_assert(sizeof(EchoHeader) == 32);

std::uint16_t internet_checksum(const EchoHeader &header)
{
	std::array<std::uint16_t, sizeof(header) / 2> words;
	std::memcpy(words.data(), &header, sizeof(header));
	std::uint32_t sum = 0;
	for (const std::uint16_t word : words)
		sum += word;
	sum = (sum & 0xffff) + (sum >> 16);
	return static_cast<std::uint16_t>(~(sum + (sum >> 16)));
}

Address address_from(const sockaddr_storage &storage)
{
	if (storage.ss_family == AF_INET)
		return Address::v4(
			ntohl(reinterpret_cast<const sockaddr_in &>(storage).sin_addr.s_addr));
	ax_addr raw{};
	std::memcpy(&raw, &reinterpret_cast<const sockaddr_in6 &>(storage).sin6_addr, 16);
	return Address(raw);
}

} // namespace

class Pinger::Echo : public Probe {
public:
	Echo(Pinger &pinger, std::uint32_t key) : pinger_(pinger), key_(key) {}
	~Echo() override { pinger_.forget(key_); }
	[[nodiscard]] std::string waiting_for() const override { return "an echo reply"; }

private:
	Pinger &pinger_;
	std::uint32_t key_;
};

Pinger::Pinger(Loop &loop) : loop_(loop), next_(std::random_device{}()) {}

Pinger::~Pinger()
{
	for (const Fd *fd : {&v4_, &v6_})
		if (fd->valid())
			loop_.forget(fd->get());
}

Status Pinger::open(bool v4)
{
	Fd &fd = v4 ? v4_ : v6_;
	if (fd.valid())
		return {};
	Fd opened(socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
			 v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6}));
	if (!opened.valid())
		return fail_errno("raw ICMP socket", errno,
				  "icmp checks need the capability CAP_NET_RAW");
	if (v4) {
		const icmp_filter filter{~(1u << ICMP_ECHOREPLY)};
		setsockopt(opened.get(), SOL_RAW, ICMP_FILTER, &filter, sizeof(filter));
	} else {
		icmp6_filter filter;
		ICMP6_FILTER_SETBLOCKALL(&filter);
		ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
		setsockopt(opened.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
	}
	AX_TRY(loop_.watch(opened.get(), EPOLLIN, [this, v4](std::uint32_t) { receive(v4); }));
	fd = std::move(opened);
	return {};
}

Started Pinger::start(const Target &target, Done done)
{
	const bool v4 = target.address.is_v4();
	AX_TRY(open(v4));
	const std::uint32_t key = ++next_;
	EchoHeader header;
	header.type = v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	header.key = key;
	if (v4) // ICMPv6: the kernel does it
		header.checksum = internet_checksum(header);
	const SocketAddress to = socket_address(target.address, 0);
	if (sendto((v4 ? v4_ : v6_).get(), &header, sizeof(header), 0, to.get(), to.length) < 0)
		return fail_errno("send echo request", errno);
	waiting_[key] = {target.address, std::move(done)};
	return std::make_unique<Echo>(*this, key);
}

void Pinger::receive(bool v4)
{
	std::array<std::uint8_t, 2048> buffer;
	for (;;) {
		sockaddr_storage from{};
		socklen_t length = sizeof(from);
		const ssize_t got = recvfrom((v4 ? v4_ : v6_).get(), buffer.data(), buffer.size(),
					     0, reinterpret_cast<sockaddr *>(&from), &length);
		if (got <= 0)
			return;
		const std::size_t skip = v4 ? std::size_t{4} * (buffer[0] & 0xfu) : 0;
		if (static_cast<std::size_t>(got) < skip + 8)
			continue;
		std::uint32_t key = 0;
		std::memcpy(&key, buffer.data() + skip + 4, sizeof(key));
		const auto found = waiting_.find(key);
		if (found == waiting_.end() || found->second.from != address_from(from))
			continue;
		const Done done = std::move(found->second.done);
		waiting_.erase(found);
		done({true, "echo reply"});
	}
}

} // namespace anycast::health
