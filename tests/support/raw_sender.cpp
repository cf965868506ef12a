// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/raw_sender.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "support/isolation.h"

namespace anycast::test {

Mac mac_of(const LinkEnd &end)
{
	return end.netns.run([&] {
		const Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
		ifreq request{};
		std::strncpy(request.ifr_name, end.name.c_str(), IFNAMSIZ - 1);
		if (ioctl(fd.get(), SIOCGIFHWADDR, &request))
			throw_errno("hardware address of " + end.name);
		Mac mac;
		std::copy_n(reinterpret_cast<const std::uint8_t *>(request.ifr_hwaddr.sa_data),
			    mac.size(), mac.begin());
		return mac;
	});
}

RawSender::RawSender(const LinkEnd &end) : mac_(mac_of(end))
{
	end.netns.run([&] {
		socket_ = Fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
		index_ = static_cast<int>(if_nametoindex(end.name.c_str()));
		if (!socket_.valid() || index_ == 0)
			throw_errno("packet socket on " + end.name);
	});
}

void RawSender::send(std::span<const std::uint8_t> frame) const
{
	sockaddr_ll to{};
	to.sll_family = AF_PACKET;
	to.sll_ifindex = index_;
	to.sll_halen = 6;
	std::copy_n(frame.begin(), std::min<std::size_t>(6, frame.size()), to.sll_addr);
	if (sendto(socket_.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr *>(&to),
		   sizeof(to)) != static_cast<ssize_t>(frame.size()))
		throw_errno("send a frame of " + std::to_string(frame.size()) + " bytes");
}

} // namespace anycast::test
