// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the control socket and the HTTP port share: bounded connections that send one request, get
// one answer, and are closed. In the agent's loop; a slow or silent client holds up nobody.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "util/fd.h"
#include "util/loop.h"
#include "util/result.h"

namespace anycast::agent {

using Send = std::function<void(std::string)>; // the whole answer; at once or later, once

struct Service {
	std::string end;		// of a request: "\n", "\r\n\r\n"
	std::size_t max_request = 4096; // bytes
	// `fd` is the client's socket: for its credentials.
	std::function<void(int fd, std::string_view request, Send send)> answer;
	// May this client ask? Others are closed without a word. None: all may.
	std::function<bool(int fd)> admits{};
	// To a request that is too long or has no end; "" closes without a word.
	std::function<std::string(std::string_view problem)> refuse;
};

class LineServer {
public:
	// `listener` is bound and listens.
	static Result<std::unique_ptr<LineServer>> start(Loop &loop, Fd listener, Service service);
	~LineServer();
	LineServer(const LineServer &) = delete;
	LineServer &operator=(const LineServer &) = delete;

private:
	struct Client {
		Fd fd;
		std::string in, out;
		std::uint64_t serial = 0; // tells it from a later client on the same number
		bool asked = false;
		Loop::Timer limit = 0;
	};

	LineServer(Loop &loop, Fd listener, Service service);
	Status listen();
	void accept_one();
	void ready(int fd, std::uint32_t events);
	void read_request(Client &client);
	void write_answer(Client &client);
	void ask(Client &client, std::string_view request);
	void reply(Client &client, std::string text);
	void drop(int fd);

	Loop &loop_;
	Fd listener_;
	Service service_;
	std::map<int, Client> clients_;
	std::uint64_t serial_ = 0;
	Loop::Timer rest_ = 0;
	std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace anycast::agent
