// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/udp.h"

#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include <netinet/in.h>

#include "support/isolation.h"

namespace anycast::test {

namespace {

constexpr std::size_t kMost = 65536;

int echo(const std::string &name, const Endpoint &listen)
{
	const SocketAddress address(listen);
	const Fd fd(::socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
	if (fd.get() < 0 || ::bind(fd.get(), address.get(), address.size) != 0)
		return 1;
	std::vector<char> buffer(kMost + name.size() + 1);
	std::memcpy(buffer.data(), name.data(), name.size());
	buffer[name.size()] = '\n';
	char *data = buffer.data() + name.size() + 1;
	while (true) {
		sockaddr_storage from{};
		socklen_t size = sizeof(from);
		const ssize_t got = ::recvfrom(fd.get(), data, kMost, 0,
					       reinterpret_cast<sockaddr *>(&from), &size);
		if (got < 0)
			continue;
		(void)::sendto(fd.get(), buffer.data(),
			       name.size() + 1 + static_cast<std::size_t>(got), 0,
			       reinterpret_cast<sockaddr *>(&from), size);
	}
}

} // namespace

Process serve_echo(const Netns &netns, const Endpoint &listen)
{
	const std::string log = std::string(kLabDir) + "/echo-" + netns.name() + ".log";
	Process server = Process::call(
		netns, [&] { return echo(netns.name(), listen); }, log);
	UdpClient client(netns, listen, false);
	// until it listens, the kernel refuses at once
	if (!wait_until(milliseconds(5000), [&] { return !client.ask(1, 1).empty(); }))
		throw LabError("no UDP echo in " + netns.name());
	return server;
}

UdpClient::UdpClient(const Netns &netns, const Endpoint &to, bool discover,
		     std::uint16_t source_port)
	: netns_(netns), to_(to), discover_(discover), port_(source_port)
{
	open();
}

void UdpClient::open()
{
	const SocketAddress to(to_);
	const bool six = to.family() == AF_INET6;
	fd_ = netns_.run([&] { return Fd(::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
	if (fd_.get() < 0)
		throw LabError("no UDP socket");
	if (port_ != 0) {
		const SocketAddress from({six ? "::" : "0.0.0.0", port_});
		if (::bind(fd_.get(), from.get(), from.size) != 0)
			throw LabError("UDP port " + std::to_string(port_) + " is taken");
	}
	if (discover_) {
		const int four = IP_PMTUDISC_DO, other = IPV6_PMTUDISC_DO;
		::setsockopt(fd_.get(), six ? IPPROTO_IPV6 : IPPROTO_IP,
			     six ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, six ? &other : &four,
			     sizeof(int));
		// Else the sender itself would make fragments of what does not fit.
		const int on = 1;
		if (six)
			::setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_DONTFRAG, &on, sizeof(on));
	}
	if (::connect(fd_.get(), to.get(), to.size) != 0)
		throw LabError(std::string("UDP connect: ") + std::strerror(errno));
}

std::size_t UdpClient::most() const
{
	const bool six = to_.address.find(':') != to_.address.npos;
	int mtu = 0;
	socklen_t size = sizeof(mtu);
	if (!discover_ || ::getsockopt(fd_.get(), six ? IPPROTO_IPV6 : IPPROTO_IP,
				       six ? IPV6_MTU : IP_MTU, &mtu, &size) != 0)
		return kMost;
	return static_cast<std::size_t>(mtu) - (six ? 48 : 28);
}

std::string UdpClient::ask(std::size_t bytes, int tries)
{
	std::vector<std::uint8_t> data(bytes);
	for (std::size_t i = 0; i < data.size(); i++)
		data[i] = static_cast<std::uint8_t>(i * 7);
	return ask_with(data, tries);
}

std::string UdpClient::ask_with(std::span<const std::uint8_t> bytes, int tries)
{
	const std::string whole(bytes.begin(), bytes.end());
	std::vector<char> answer(kMost);
	for (int i = 0; i < tries; i++) {
		// An ICMP error is told by the next call, of whatever kind.
		if (::send(fd_.get(), whole.data(), std::min(whole.size(), most()), 0) < 0 &&
		    ::send(fd_.get(), whole.data(), std::min(whole.size(), most()), 0) < 0)
			continue;
		pollfd wait{fd_.get(), POLLIN, 0};
		if (::poll(&wait, 1, 200 * slowness()) <= 0)
			continue;
		const ssize_t got = ::recv(fd_.get(), answer.data(), answer.size(), MSG_DONTWAIT);
		if (got < 0)
			continue;
		const std::string text(answer.data(), static_cast<std::size_t>(got));
		const std::size_t line = text.find('\n');
		if (line == text.npos)
			continue;
		const std::string body = text.substr(line + 1);
		if (!whole.starts_with(body))
			throw LabError("the echo of a datagram differs from it");
		sent_ = body.size();
		return text.substr(0, line);
	}
	return "";
}

} // namespace anycast::test
