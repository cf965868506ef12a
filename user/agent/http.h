// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// GET of a few pages, on a loopback address: metrics and the status page. Reads only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/line_server.h"
#include "core/address.h"

namespace anycast::agent {

struct Page {
	std::string type; // "text/html; charset=utf-8"
	std::function<std::string()> body;
};

Result<std::unique_ptr<LineServer>> serve_http(Loop &loop, const Address &address,
					       std::uint16_t port,
					       std::map<std::string, Page> pages);

} // namespace anycast::agent
