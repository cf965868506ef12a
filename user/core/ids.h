// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Hands out ids: what existed before keeps its own, what is new takes the lowest free one with a
// generation number that id never had before.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/image.h"

namespace anycast {

class IdTable {
public:
	explicit IdTable(const std::vector<Named> &previous);

	// All names first, then settle(); ids are known afterwards.
	void want(const std::string &name, const std::string &identity);
	void settle();

	[[nodiscard]] std::uint16_t id(const std::string &name) const { return by_name_.at(name); }
	[[nodiscard]] std::uint16_t gen(std::uint16_t id) const { return list_[id].gen; }
	[[nodiscard]] std::size_t size() const { return list_.size(); }
	[[nodiscard]] std::vector<Named> take() { return std::move(list_); }

private:
	std::vector<Named> list_;
	std::vector<std::pair<std::string, std::string>> wanted_;
	std::map<std::string, std::uint16_t> by_name_;
};

} // namespace anycast
