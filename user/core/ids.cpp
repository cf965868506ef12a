// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/ids.h"

namespace anycast {

namespace {

void renew(Named &entry)
{
	entry.gen = static_cast<std::uint16_t>(entry.gen + 1);
	if (entry.gen == 0) // means "nothing" in the maps
		entry.gen = 1;
	entry.used = true;
}

} // namespace

IdTable::IdTable(const std::vector<Named> &previous) : list_(previous) {}

void IdTable::want(const std::string &name, const std::string &identity)
{
	wanted_.emplace_back(name, identity);
}

void IdTable::settle()
{
	std::map<std::string, std::string> missing(wanted_.begin(), wanted_.end());

	for (std::size_t i = 0; i < list_.size(); ++i) {
		Named &entry = list_[i];
		const auto found = entry.used ? missing.find(entry.name) : missing.end();
		if (found == missing.end()) {
			entry.used = false;
			continue;
		}
		if (entry.identity != found->second) {
			entry.identity = found->second;
			renew(entry);
		}
		by_name_[entry.name] = static_cast<std::uint16_t>(i);
		missing.erase(found);
	}

	std::size_t free = 0;
	for (const auto &[name, identity] : wanted_) {
		if (!missing.contains(name))
			continue;
		while (free < list_.size() && list_[free].used)
			++free;
		if (free == list_.size())
			list_.emplace_back();
		Named &entry = list_[free];
		entry.name = name;
		entry.identity = identity;
		renew(entry);
		by_name_[name] = static_cast<std::uint16_t>(free);
		missing.erase(name);
	}
}

} // namespace anycast
