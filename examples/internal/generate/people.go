package main

// shop is one of the chain's senders and whom it talks to.
type shop struct {
	sender string
	people int
	digits int // of an id: Page-scoped ids have 17 here, Instagram-scoped 16
	cities []city
	bad    []string // what is wrong with its bad rows, see spoil
}

// city is where people live, with how many of a hundred live there.
type city struct {
	name, zone string
	share      int
}

func shops() []shop {
	return []shop{
		{"bakery-oslo", 3200, 17, []city{
			{"Oslo", "Europe/Oslo", 76}, {"Bærum", "Europe/Oslo", 8}, {"Lillestrøm", "Europe/Oslo", 7},
			{"Drammen", "Europe/Oslo", 5}, {"Göteborg", "Europe/Stockholm", 3}, {"London", "Europe/London", 1},
		}, []string{"time", "zone", "columns", "id"}},
		{"bakery-berlin", 1800, 17, []city{
			{"Berlin", "Europe/Berlin", 82}, {"Potsdam", "Europe/Berlin", 9}, {"Leipzig", "Europe/Berlin", 4},
			{"Wien", "Europe/Vienna", 3}, {"İstanbul", "Europe/Istanbul", 2},
		}, []string{"opened_by", "opted_out"}},
		{"bakery-insta", 1000, 16, []city{
			{"Oslo", "Europe/Oslo", 34}, {"Berlin", "Europe/Berlin", 26}, {"København", "Europe/Copenhagen", 12},
			{"New York", "America/New_York", 9}, {"São Paulo", "America/Sao_Paulo", 6}, {"Nairobi", "Africa/Nairobi", 5},
			{"Mumbai", "Asia/Kolkata", 5}, {"東京", "Asia/Tokyo", 3},
		}, []string{"utf8", "future"}},
	}
}

func givenNames() []string {
	return []string{
		"Ingrid", "Nora", "Sofie", "Kari", "Astrid", "Liv", "Solveig", "Eirik", "Magnus", "Sander", "Håkon", "Bjørn",
		"Anna", "Lena", "Hannah", "Jürgen", "Lukas", "Felix", "Greta", "Matthias", "Björn", "Käthe",
		"Amina", "Yusuf", "Fatima", "Omar", "Layla", "Hassan", "Ayşe", "Emre", "Zeynep",
		"Priya", "Arjun", "Ananya", "Ravi", "Meera", "Nguyễn", "Linh", "Minh",
		"Wanjiru", "Kwame", "Amara", "Chidi", "Thandiwe", "Tigist",
		"María", "José", "Lucía", "João", "Inês", "Camila", "Mateo",
		"Olena", "Dmytro", "Katarzyna", "Jakub", "Zsófia", "Mihai",
		"Haruka", "Kenji", "Min-jun", "Soo-ah", "Wei", "Xiu",
		"Aoife", "Siobhán", "Grace", "Noah", "Zoë", "D'Arcy",
	}
}

func familyNames() []string {
	return []string{
		"Solheim", "Bakken", "Haugland", "Lien", "Strand", "Ødegård", "Moen", "Sæther", "Nygård",
		"Krämer", "Vogel", "Lindner", "Brandt", "Großmann", "Seidel", "von Ahlen",
		"Yılmaz", "Demir", "Haddad", "Al-Amin", "Rahimi", "Osman", "Farah",
		"Iyer", "Chatterjee", "Patil", "Trần", "Phạm",
		"Mwangi", "Mensah", "Okafor", "Dlamini", "Bekele",
		"Fernández", "Oliveira", "Quispe", "Rojas", "Sousa",
		"Kovalenko", "Wójcik", "Szabó", "Ionescu",
		"Tanaka", "Mori", "Park", "Choi", "Zhao", "Lin",
		"Byrne", "O'Neill", "Ashworth", "Carter-Hughes", "Lindqvist", "Rasmussen",
	}
}

func favourites() []string {
	return []string{
		"cardamom bun", "rye loaf", "sourdough loaf", "cinnamon knot", "poppy seed roll", "spelt loaf",
		"almond croissant", "simit", "pretzel", "walnut bread", "custard tart", "raspberry slice",
	}
}
