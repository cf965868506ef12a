// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/netlink.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

namespace anycast::netlink {

namespace {

int on_message(const nlmsghdr *message, void *visit)
{
	(*static_cast<const std::function<void(const nlmsghdr *)> *>(visit))(message);
	return MNL_CB_OK;
}

} // namespace

Request::Request(std::uint16_t type, std::uint16_t flags, int bus)
	: message_(mnl_nlmsg_put_header(buffer_.data())), bus_(bus)
{
	message_->nlmsg_type = type;
	message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
	message_->nlmsg_seq = 1; // one request a socket
}

void Request::put(std::uint16_t attribute, const Address &address)
{
	if (address.is_v4())
		mnl_attr_put(message_, attribute, 4, address.bytes().data() + 12);
	else
		mnl_attr_put(message_, attribute, 16, address.bytes().data());
}

void Request::put(std::uint16_t attribute, std::uint32_t value)
{
	mnl_attr_put_u32(message_, attribute, value);
}

Status Socket::open(int bus, const std::string &what)
{
	if (socket_)
		return {};
	std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open2(bus, SOCK_CLOEXEC));
	if (!socket)
		return fail_errno(what + ": netlink socket", errno);
	if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
		return fail_errno(what + ": bind netlink socket", errno);
	socket_ = std::move(socket);
	buffer_.resize(32768); // a dump's largest message, see mnl_nlmsg_batch(3)
	return {};
}

Status Request::send(const std::string &what, const Visit &visit, int *refused, Socket *over)
{
	if ((message_->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP)
		return dump(what, visit, refused);
	return exchange(what, visit, refused, over);
}

Status Request::dump(const std::string &what, const Visit &visit, int *refused)
{
	using Clock = std::chrono::steady_clock;
	const auto until = Clock::now() + std::chrono::seconds(2);

	for (;;) {
		std::vector<char> messages; // each padded, so that the next one is aligned
		int error = 0;
		const Status listed = exchange(
			what,
			[&](const nlmsghdr *message) {
				const auto *bytes = reinterpret_cast<const char *>(message);
				messages.insert(messages.end(), bytes, bytes + message->nlmsg_len);
				messages.resize(NLMSG_ALIGN(messages.size()));
			},
			&error, nullptr);
		if (refused)
			*refused = error;
		if (!listed && error == EINTR && Clock::now() < until)
			continue;
		if (!listed)
			return error != EINTR
				       ? listed
				       : fail(Exit::kFailed,
					      what + ": changed whenever it was read, for 2 s",
					      "something on this node keeps changing them; "
					      "`ip monitor` shows what; try again");
		for (std::size_t at = 0; at < messages.size();) {
			const auto *message =
				reinterpret_cast<const nlmsghdr *>(messages.data() + at);
			visit(message);
			at += NLMSG_ALIGN(message->nlmsg_len);
		}
		return {};
	}
}

Status Request::exchange(const std::string &what, const Visit &visit, int *refused, Socket *over)
{
	Socket own;
	Socket &socket = over ? *over : own;

	AX_TRY(socket.open(bus_, what));
	mnl_socket *const open = socket.socket_.get();
	std::vector<char> &buffer = socket.buffer_;
	if (mnl_socket_sendto(open, message_, message_->nlmsg_len) < 0)
		return fail_errno(what + ": send", errno);

	const unsigned port = mnl_socket_get_portid(open);
	for (int status = MNL_CB_OK; status > MNL_CB_STOP;) {
		const ssize_t length = mnl_socket_recvfrom(open, buffer.data(), buffer.size());
		if (length < 0 && errno == EINTR) // a signal
			continue;
		if (length < 0)
			return fail_errno(what + ": receive", errno);
		status = mnl_cb_run(buffer.data(), static_cast<std::size_t>(length), 1, port,
				    on_message,
				    const_cast<void *>(static_cast<const void *>(&visit)));
		if (status < 0) {
			const int error = errno;
			if (refused)
				*refused = error;
			return fail_errno(what, error);
		}
		// A request that is neither a dump nor acknowledged has one answer.
		if (!(message_->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK)))
			break;
	}
	return {};
}

bool address_from(const nlattr *attribute, Address &address)
{
	ax_addr raw{};
	const auto *bytes = static_cast<const std::uint8_t *>(mnl_attr_get_payload(attribute));

	switch (mnl_attr_get_payload_len(attribute)) {
	case 4:
		raw.bytes[10] = raw.bytes[11] = 0xff;
		std::memcpy(raw.bytes + 12, bytes, 4);
		break;
	case 16:
		std::memcpy(raw.bytes, bytes, 16);
		break;
	default:
		return false;
	}
	address = Address(raw);
	return true;
}

} // namespace anycast::netlink
