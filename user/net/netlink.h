// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One netlink request and its answers (libmnl).
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "core/address.h"
#include "util/result.h"

namespace anycast::netlink {

// For many requests in a row, none of them a dump: opening one costs more than an answer. It stays
// in the network namespace where it was opened.
class Socket {
public:
	Status open(int bus, const std::string &what);

private:
	friend class Request;
	struct Close {
		void operator()(mnl_socket *socket) const { mnl_socket_close(socket); }
	};
	std::unique_ptr<mnl_socket, Close> socket_;
	std::vector<char> buffer_;
};

class Request {
public:
	Request(std::uint16_t type, std::uint16_t flags, int bus = NETLINK_ROUTE);

	template <typename T> T &header()
	{
		return *static_cast<T *>(mnl_nlmsg_put_extra_header(message_, sizeof(T)));
	}
	[[nodiscard]] nlmsghdr *message() { return message_; }
	void put(std::uint16_t attribute, const Address &address); // 4 or 16 bytes
	void put(std::uint16_t attribute, std::uint32_t value);

	using Visit = std::function<void(const nlmsghdr *)>;
	// Sends it and hands every answer to `visit`. `what` begins the error message; a positive
	// errno of the kernel's refusal is left in `refused`, if that is given. By `over`, or by a
	// socket of its own. A dump is handed over when all of it is there, and asked for again if
	// the kernel says that what it lists changed meanwhile (NLM_F_DUMP_INTR).
	Status send(const std::string &what, const Visit &visit, int *refused = nullptr,
		    Socket *over = nullptr);

private:
	Status dump(const std::string &what, const Visit &visit, int *refused);
	Status exchange(const std::string &what, const Visit &visit, int *refused, Socket *over);

	alignas(NLMSG_ALIGNTO) std::array<char, 512> buffer_{};
	nlmsghdr *message_;
	int bus_;
};

// libmnl's own loops do not compile as C++.
template <typename Visit>
void each_attribute(const nlmsghdr *message, std::size_t header, const Visit &visit)
{
	const auto *attribute =
		static_cast<const nlattr *>(mnl_nlmsg_get_payload_offset(message, header));

	while (mnl_attr_ok(
		attribute,
		static_cast<int>(static_cast<const char *>(mnl_nlmsg_get_payload_tail(message)) -
				 reinterpret_cast<const char *>(attribute)))) {
		visit(attribute);
		attribute = mnl_attr_next(attribute);
	}
}

template <typename Visit> void each_nested(const nlattr *outer, const Visit &visit)
{
	const auto *attribute = static_cast<const nlattr *>(mnl_attr_get_payload(outer));
	const char *end = static_cast<const char *>(mnl_attr_get_payload(outer)) +
			  mnl_attr_get_payload_len(outer);

	while (mnl_attr_ok(attribute,
			   static_cast<int>(end - reinterpret_cast<const char *>(attribute)))) {
		visit(attribute);
		attribute = mnl_attr_next(attribute);
	}
}

// 4 bytes or 16; nothing else is an address.
bool address_from(const nlattr *attribute, Address &address);

} // namespace anycast::netlink
